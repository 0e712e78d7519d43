"""Figures in frames of real data sets: boxes by a detector, masks by Segment Anything, looks by a classifier."""
