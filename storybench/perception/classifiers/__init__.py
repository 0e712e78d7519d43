"""Classifiers of FlintstonesSV and PororoSV: who is in a frame, and where it plays."""
