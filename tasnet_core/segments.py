"""Where recordings are cut for training and validation.

The rule of the paper, made whole: pieces of equal length without overlap, the last one taken from the
end so that no sample is lost, a recording shorter than a piece padded with zeros the loss does not see.
"""

import numpy as np

from tasnet_core.mixture import Mixture


def cuts(samples: int, segment: int) -> list[int]:
    """First samples of the segments of a recording: every sample lies in at least one."""
    if samples <= segment:
        return [0]
    starts = list(range(0, samples - segment + 1, segment))
    if starts[-1] + segment < samples:
        starts.append(samples - segment)
    return starts


def cut(mixture: Mixture, segment: int) -> list[Mixture]:
    """The segments of one mixture, each exactly `segment` samples long."""
    pieces = []
    for number, start in enumerate(cuts(mixture.length, segment)):
        length = min(segment, mixture.length - start)
        sources = np.zeros((len(mixture.sources), segment), np.float32)
        sources[:, :length] = mixture.sources[:, start:start + length]
        noise = None
        if mixture.noise is not None:
            noise = np.zeros(segment, np.float32)
            noise[:length] = mixture.noise[start:start + length]
        pieces.append(mixture._replace(id=f"{mixture.id}/{number}", sources=sources, length=length, noise=noise))
    return pieces
