"""Is a row what its command draws? The command of a row, what decides that a second drawing agrees, and the evidence.

Drawing itself is ``storybench run``; :mod:`storybench.cli.reproduce` calls it. Here are the nouns: :mod:`.recipe` (from
a record to words), :mod:`.tables` (scores from ``frames.parquet`` alone), :mod:`.agreement` (the criterion).
"""
