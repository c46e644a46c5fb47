"""The reference networks: measured with every run and never changed, so that only the machine can change their times.

A new version gets a new name (`reference-3`) and leaves the old ones as they are: the stored times belong to these
weights.
"""

from __future__ import annotations

from inferkit.network.zoo.builder import NetBuilder


def reference_1(net: NetBuilder) -> None:
    """Convolutions that fit the caches, and one inner product of 8 MB of weights that asks for memory.

    For 64×64 images; 74 million multiply-accumulates, one or two milliseconds on a core of today's CPUs.
    """
    for number, (outputs, stride) in enumerate(((32, 2), (64, 2), (128, 1), (128, 1)), 1):
        net.conv(f"conv{number}", outputs, 3, stride=stride, pad=1)
        net.relu(f"relu{number}")
    net.max_pool("pool4", 2, 2)
    net.conv("conv5", 128, 3, pad=1)
    net.relu("relu5")
    net.fc("ip6", 256)
    net.relu("relu6")
    net.fc("ip7", 10)
    net.softmax("prob")


def reference_2(net: NetBuilder) -> None:
    """Many small convolutions in sequence, each split among the threads: half the time is synchronization.

    For images [16, 14, 14]; 11 million multiply-accumulates, about 0.2 ms. What mostly changes on a shared machine is
    how soon one core hears from another (the hypervisor moves one to another cache): it slows networks of small layers
    by half, and one of few large layers by a tenth. So this one is made of small layers only.
    """
    for number in range(1, 25):
        net.conv(f"conv{number}", 16, 3, pad=1)
        net.relu(f"relu{number}")
    net.fc("ip25", 10)
    net.softmax("prob")


def memory_1(net: NetBuilder) -> None:
    """One step that writes far more than a core's own caches hold, and one that reads it: the time of the memory.

    For images [1, 256, 256]; 34 MB each are written and read an image, with 8 million multiply-accumulates. A server's
    shared cache may hold as much: then it is the time of that one.
    """
    net.conv("conv1", 128, 1)
    net.relu("relu1")
    net.global_pool("pool1")
    net.fc("ip2", 10)
    net.softmax("prob")
