"""Other ways to read a region, for comparison on the same images: their own boxes or ours, their counts, our rules."""

from benchmarks.peers.classical import Classical, ClassicalSettings
from benchmarks.peers.common import Peer, peer_reading
from benchmarks.peers.tuning import tune_classical, tune_ufish
from benchmarks.peers.ufish import UFish, UFishSettings

__all__ = [
    "Classical",
    "ClassicalSettings",
    "Peer",
    "UFish",
    "UFishSettings",
    "peer_reading",
    "tune_classical",
    "tune_ufish",
]
