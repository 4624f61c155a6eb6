"""Convolution, batch norm and ReLU of images in fewer passes over memory, on a CPU and where nothing needs a gradient.

The learner is written as ever, with ``torch.nn.functional`` or modules. Its images are tensors of a kind (`Maps`) for which these functions
put off what is better done together with what follows, and that are plain tensors for all others:

* θ is the same for all targets, so its kernels are laid out for oneDNN once (`Kernels`).
* Batch norm is one pass that normalises and clips, where its result goes to a ReLU alone.
* Where a batch norm follows a convolution of the episode's own images, the mean and variance of the maps follow from those of the image
  patches, which depend on no parameter (`Patches`): the convolution, the normalisation and the ReLU are one call of oneDNN.
"""

from transference.fused._convolution import Kernels
from transference.fused._gradients import conv2d
from transference.fused._maps import Maps
from transference.fused._patches import KeptPatches, Patches

__all__ = ["KeptPatches", "Kernels", "Maps", "Patches", "conv2d"]
