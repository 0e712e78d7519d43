"""Frames that somebody else made: one archive, checked without trust, scored in a clean process, put on the board.

``manifest`` is what an archive says of itself, ``archive`` reads one as bytes, ``checking`` finds everything that is
wrong with it, ``packing`` makes one. ``scoring`` turns one into a row, ``reviewing`` does the same for a pull request.
Nothing of an archive is ever run, unpickled or extracted under a name of its own.
"""
