"""FlintstonesSV in the folder that StoryDALL-E, ARLDM and Make-A-Story share: five pictures a clip at 128 px."""

from __future__ import annotations

from storybench.data.layouts.flintstones_release import FlintstonesRelease


class FlintstonesStoryDALLE(FlintstonesRelease):
    """``video_frames_sampled/<clip id>.npy`` (5, 128, 128, 3) with the AI2 annotation and split.

    ``labels.pkl`` and ``following_cache4.pkl`` restate annotation and story order; neither is read, the annotation is
    the truth and ``storybench data verify`` compares them with it.
    """

    layout = "storydalle"
    pictures_folder = "video_frames_sampled"
