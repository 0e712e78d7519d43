"""ToonSV, the embedded procedural data set.

``planner`` (casting, events) makes an abstract story from integers; ``grammar`` (template, discourse, phrases) tells it
in two texts; ``drawing`` draws its scenes; ``dataset`` hands it out as Stories, ``sampling`` as training frames without
end and ``huggingface`` as a ``datasets.Dataset``. ``lexicon`` knows its words and names.
"""
