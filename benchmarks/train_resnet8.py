"""Train ResNet-8 on CIFAR-10 and write its checkpoint as safetensors.

    python -m benchmarks.train_resnet8 --data FOLDER --epochs 50 --stop-after 42 --out X.safetensors

SGD with Nesterov momentum, one-cycle learning rate, random shift and flip, an exponential moving
average of the weights; resumes from ``OUT.resume`` after a kill.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from benchmarks.cifar10 import load
from hessbit.quant.zoo import ResNet8


def to_input(images: np.ndarray) -> torch.Tensor:
    """uint8 ``(N, 32, 32, 3)`` to float ``(N, 3, 32, 32)``: ``(p - 128) / 64``, exact in binary."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 128) / 64


def augment(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Random flip and a shift of up to 4 pixels, for each image of ``(N, 3, 32, 32)``."""
    n = x.shape[0]
    flip = torch.rand(n, generator=rng) < 0.5
    x = torch.where(flip[:, None, None, None], x.flip(3), x)
    padded = F.pad(x, (4, 4, 4, 4))
    dy, dx = torch.randint(0, 9, (2, n), generator=rng)
    rows = dy[:, None] + torch.arange(32)
    cols = dx[:, None] + torch.arange(32)
    index = torch.arange(n)[:, None, None]
    return padded.permute(0, 2, 3, 1)[index, rows[:, :, None], cols[:, None, :]].permute(0, 3, 1, 2)


@torch.no_grad()
def accuracy(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Share of ``y`` that ``model`` gets right, in per cent."""
    model.eval()
    parts = zip(x.split(500), y.split(500), strict=True)
    right = sum(int((model(a).argmax(1) == b).sum()) for a, b in parts)
    return 100 * right / len(y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder with CIFAR-10")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--stop-after", type=int, help="end after this epoch of the schedule")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="src/hessbit/assets/resnet8-cifar10.safetensors")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = torch.Generator().manual_seed(args.seed)
    images, labels = load("train", args.data)
    x, y = to_input(images), torch.from_numpy(labels)
    images, labels = load("test", args.data)
    x_test, y_test = to_input(images), torch.from_numpy(labels)

    model = ResNet8().to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    steps = len(x) // args.batch
    optimizer = torch.optim.SGD(
        model.parameters(), lr=args.lr, momentum=0.9, weight_decay=2e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, total_steps=args.epochs * steps, pct_start=0.2, cycle_momentum=False
    )
    resume = Path(args.out + ".resume")
    first = 0
    if resume.exists():
        state = torch.load(resume, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        rng.set_state(state["rng"])
        first = state["epoch"]
    for epoch in range(first, args.stop_after or args.epochs):
        start = time.monotonic()
        model.train()
        order = torch.randperm(len(x), generator=rng)[: steps * args.batch].view(steps, args.batch)
        total = 0.0
        for batch in order:
            loss = F.cross_entropy(model(augment(x[batch], rng)), y[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            with torch.no_grad():
                pairs = zip(average.state_dict().values(), model.state_dict().values(), strict=True)
                for a, b in pairs:
                    if a.is_floating_point():
                        a.lerp_(b, 0.002)
                    else:
                        a.copy_(b)
        torch.save(
            {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "rng": rng.get_state(),
                "epoch": epoch + 1,
            },
            resume,
        )
        print(
            f"epoch {epoch + 1}/{args.epochs} loss {total / steps:.4f} test "
            f"{accuracy(average, x_test, y_test):.2f} % {time.monotonic() - start:.0f} s",
            flush=True,
        )
        state = {k: v.contiguous() for k, v in average.state_dict().items()}
        save_file(state, args.out)
    resume.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
