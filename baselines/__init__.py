"""Reference systems to compare with, one file a system. Nothing heavy is imported until a system is built."""
