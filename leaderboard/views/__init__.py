"""From tables to what is seen: charts, tables and fragments of HTML. Functions without state; nothing is read here."""
