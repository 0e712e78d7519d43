"""The board as data: entries, the folder of a row, and how rows are written. Nothing here knows how it is shown."""
