"""Run records: their schema, the fingerprint that names a run, and where they lie."""
