"""Training with torch: SGD with momentum and weight decay, a one-cycle learning rate, mirrored and shifted images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inferkit.network.zoo.catalogue import build
from tools.train import fashion_mnist
from tools.train.caffe_in_torch import CaffeNet, loss


@dataclass(frozen=True)
class Recipe:
    """How long and how fast one network learns; every recipe is SGD, momentum 0.9, Nesterov."""

    epochs: int
    peak_rate: float
    weight_decay: float = 5e-4
    batch: int = 128
    seed: int = 1
    shift: int = 1  # pixels, each way

    def __str__(self) -> str:
        shift = f" and shift by up to {self.shift} pixel" if self.shift else ""
        return (
            f"SGD with Nesterov momentum 0.9, one-cycle learning rate to {self.peak_rate}, weight decay "
            f"{self.weight_decay}, {self.epochs} epochs, batch {self.batch}, He initialization, bfloat16 autocast, "
            f"label smoothing 0.05, random mirror{shift}"
        )


RECIPES = {
    "fashion_vgg": Recipe(epochs=15, peak_rate=0.05, shift=0),
    "fashion_resnet": Recipe(epochs=10, peak_rate=0.3),
}


def train(name: str, dataset: Path) -> dict[str, list[np.ndarray]]:
    """Train the zoo's network `name` on the 60,000 training images, on a GPU if there is one; its blobs by layer."""
    recipe = RECIPES[name]
    torch.manual_seed(recipe.seed)
    images, labels = (torch.from_numpy(array.copy()) for array in fashion_mnist.read(dataset, fashion_mnist.TRAIN))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data, target = images.float().mul_(1 / 256).to(device), labels.long().to(device)
    net = CaffeNet(build(name))
    net.initialize()
    net = net.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        net.parameters(), recipe.peak_rate, 0.9, weight_decay=recipe.weight_decay, nesterov=True
    )
    steps = len(data) // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.peak_rate, epochs=recipe.epochs, steps_per_epoch=steps, pct_start=0.2
    )
    for epoch in range(recipe.epochs):
        net.train()
        total = 0.0
        for chosen in torch.randperm(len(data))[: steps * recipe.batch].reshape(steps, recipe.batch).to(device):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16):
                logits = net(_augmented(data[chosen], recipe.shift))
            error = loss(logits.float(), target[chosen])
            error.backward()
            optimizer.step()
            schedule.step()
            total += error.item()
        print(f"{name}: epoch {epoch + 1} of {recipe.epochs}, training loss {total / steps:.4f}", flush=True)
    return net.blobs()


def _augmented(batch: Tensor, shift: int) -> Tensor:
    """Mirror half of the images, and shift all of the batch by the same few pixels (zeros come in)."""
    mirrored = torch.where(torch.rand(len(batch), 1, 1, 1, device=batch.device) < 0.5, batch.flip(3), batch)
    down, right = (int(value) for value in torch.randint(0, 2 * shift + 1, (2,)))
    padded = torch.nn.functional.pad(mirrored, (shift, shift, shift, shift))
    height, width = batch.shape[2:]
    return padded[:, :, down : down + height, right : right + width].contiguous(memory_format=torch.channels_last)
