"""Says everything of a training's end that may not differ by a bit."""

import hashlib
import random

import numpy as np
import torch

random.seed(0)
np.random.seed(0)


def digest(*tensors):
    """A hash over the bits of tensors."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:24]


def say(losses, *modules, tensors=()):
    """Print losses, weights, buffers and the state of every random stream."""
    print("losses", [float(loss).hex() for loss in losses])
    for module in modules:
        print("weights", digest(*module.state_dict().values()), module.training)
    print("tensors", digest(*tensors))
    state = np.random.get_state()
    print("torch", digest(torch.get_rng_state()))
    print("numpy", hashlib.sha256(state[1].tobytes()).hexdigest()[:16], state[2])
    print("python", hashlib.sha256(repr(random.getstate()).encode()).hexdigest()[:16])
