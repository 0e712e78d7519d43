"""The published StoryGPT-V checkpoints, converted into our parts (storygptv.md section 8).

``python -m storygptv.checkpoints`` does it for whole files; the functions do it for state dicts. Every key of a
checkpoint is used, known to be dead, or listed in one error together with all others that are wrong.
"""

from storygptv.checkpoints.accounts import Accounts
from storygptv.checkpoints.first_stage import FirstStage, convert_first_stage
from storygptv.checkpoints.reading import read_state_dict
from storygptv.checkpoints.second_stage import SecondStage, convert_mapper, convert_second_stage

__all__ = [
    "Accounts",
    "FirstStage",
    "SecondStage",
    "convert_first_stage",
    "convert_mapper",
    "convert_second_stage",
    "read_state_dict",
]
