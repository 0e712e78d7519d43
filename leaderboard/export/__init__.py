"""The board as files: HTML that needs no server and no script, Markdown for a README, CSV and JSON of each table."""
