"""Does each metric measure what it says? True frames are spoilt on purpose, a little and a lot, and each is asked."""
