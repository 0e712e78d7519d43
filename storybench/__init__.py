"""One honest number for a story visualization model: does it draw whom the pronoun stands for?"""
