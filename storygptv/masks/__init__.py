"""Character masks M_k from annotated boxes by Segment Anything (StoryGPT-V, Appendix D.1).

L_reg (:mod:`storygptv.char_ldm.attention`) needs a mask of every character. The paper gives the boxes of
FlintstonesSV to SAM (Kirillov et al., arXiv 2304.02643) and says no more: size of the model, how a mask is chosen and
what happens where two overlap are not published, so that here each is an option or a stated rule.
"""

from storygptv.masks.checkpoint import LoadedSam, load_sam
from storygptv.masks.instances import instance_map
from storygptv.masks.making import MaskReport, make_masks
from storygptv.masks.segmenter import BoxSegmenter, Segmented

__all__ = ["BoxSegmenter", "LoadedSam", "MaskReport", "Segmented", "instance_map", "load_sam", "make_masks"]
