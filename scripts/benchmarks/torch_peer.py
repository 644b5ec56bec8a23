"""The networks as `nn.Module`s, giving logits, and the loops around them that torch users have."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["lightning_fit", "loop", "poutyne_fit", "skorch_fit"]


class _Reorder(nn.Module):
    """Images with their channels last, as Keras has them, to channels first; no copy."""

    def forward(self, x):
        return x.permute(0, 3, 1, 2)


class _Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20000, 128)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.head = nn.Linear(128, 1)

    def forward(self, x):
        return self.head(self.lstm(self.embedding(x))[0][:, -1])


class _Residual(nn.Module):
    def __init__(self, width_in, width, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width_in, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.short = nn.Identity()
        if stride == 2:
            conv = nn.Conv2d(width_in, width, 1, 2, bias=False)
            self.short = nn.Sequential(conv, nn.BatchNorm2d(width))

    def forward(self, x):
        return torch.relu(self.body(x) + self.short(x))


class _Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20000, 128)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True) for _ in range(2)
        )
        self.head = nn.Linear(128, 2)

    def forward(self, x):
        x = self.embedding(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


def module(name):
    """The network of a workload, with logits as outputs."""

    def conv(i, o):
        return [nn.Conv2d(i, o, 3, padding=1), nn.ReLU()]

    if name == "pima":
        sizes = [nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 1)]
        return nn.Sequential(*sizes)
    if name == "mnist_mlp":
        return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
    if name == "mnist_cnn":
        return nn.Sequential(
            *(_Reorder(), nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU()),
            *(nn.Dropout(0.5), nn.Linear(128, 10)),
        )
    if name == "cifar_ae":
        down, up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        return nn.Sequential(
            *(_Reorder(), *conv(3, 32), down, *conv(32, 32), down, *conv(32, 32), up),
            *(*conv(32, 32), up, nn.Conv2d(32, 3, 3, padding=1), nn.Flatten(0)),
        )
    if name == "resnet":
        blocks, width_in = [], 64
        for stage, width in enumerate((64, 128, 256, 512)):
            for block in range(2):
                blocks.append(_Residual(width_in, width, 2 if stage and not block else 1))
                width_in = width
        stem = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()
        pool = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)
        return nn.Sequential(_Reorder(), *stem, *blocks, *pool)
    return _Recurrent() if name == "imdb_lstm" else _Encoder()


def _optimizer(work):
    """(class, arguments) of the optimizer, in its fastest form."""
    cls = {
        "adam": torch.optim.Adam,
        "rmsprop": torch.optim.RMSprop,
        "adadelta": torch.optim.Adadelta,
        "sgd": torch.optim.SGD,
    }[work.optimizer]
    if work.optimizer == "adam":
        return cls, {"lr": 1e-3, "fused": True}
    if work.optimizer == "sgd":
        return cls, {"lr": 0.1, "momentum": 0.9, "fused": True}
    if work.optimizer == "rmsprop":
        return cls, {"lr": 1e-3, "alpha": 0.9, "foreach": True}
    return cls, {"lr": 1e-3, "rho": 0.95, "foreach": True}


def _loss(work):
    return nn.CrossEntropyLoss() if work.classes > 1 else nn.BCEWithLogitsLoss()


def _target(work, y):
    """Targets in the shape of the outputs."""
    y = torch.as_tensor(y)
    if work.classes > 1:
        return y.long()
    return y.float()[:, None] if work.classes else y.permute(0, 3, 1, 2).contiguous()


def _hits(work, out, y):
    return (out.argmax(1) == y if work.classes > 1 else (out > 0) == (y > 0.5)).sum()


def loop(name, work, x, y, device="cpu", compiled=False):
    """(training for so many epochs, predict, evaluate, module): what a careful person writes."""
    net = module(name).to(device)
    x, y = torch.as_tensor(x).to(device), _target(work, y).to(device)
    cls, arguments = _optimizer(work)
    optimizer, loss_of = cls(net.parameters(), **arguments), _loss(work)
    run = torch.compile(net) if compiled else net

    def train(epochs):
        return [epoch() for _ in range(epochs)]

    def epoch():
        net.train()
        total, hits = torch.zeros((), device=device), torch.zeros((), device=device)
        order = torch.randperm(len(x)).to(device)
        for index in order.split(work.batch):
            a, b = x.index_select(0, index), y.index_select(0, index)
            out = run(a)
            loss = loss_of(out, b.flatten() if work.classes == 0 else b)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                total += loss.detach() * len(index)
                if work.classes:
                    hits += _hits(work, out, b)
        return total.item() / len(x), hits.item() / len(x)

    def predict(rows):
        net.eval()
        with torch.no_grad():
            rows = torch.as_tensor(rows).to(device)
            return torch.cat([run(part) for part in rows.split(32)]).cpu().numpy()

    def evaluate():
        net.eval()
        total = torch.zeros((), device=device)
        with torch.no_grad():
            for a, b in zip(x.split(work.batch), y.split(work.batch), strict=True):
                out = run(a)
                total += loss_of(out, b.flatten() if work.classes == 0 else b) * len(a)
        return total.item() / len(x)

    return train, predict, evaluate, net


def lightning_fit(name, work, x, y, device="cpu"):
    """A LightningModule that logs loss and accuracy, over a DataLoader."""
    import lightning.pytorch as L
    import torchmetrics
    from torch.utils.data import DataLoader, TensorDataset

    class Net(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.loss_of = module(name), _loss(work)
            kind = "multiclass" if work.classes > 1 else "binary"
            options = {"num_classes": work.classes} if work.classes > 1 else {}
            self.accuracy = torchmetrics.Accuracy(task=kind, **options)

        def training_step(self, batch, _):
            a, b = batch
            out = self.net(a)
            loss = self.loss_of(out, b.flatten() if work.classes == 0 else b)
            self.log("loss", loss, on_step=False, on_epoch=True)
            if work.classes:
                self.accuracy(out if work.classes > 1 else out.sigmoid(), b.int())
                self.log("accuracy", self.accuracy, on_step=False, on_epoch=True)
            return loss

        def configure_optimizers(self):
            cls, arguments = _optimizer(work)
            return cls(self.net.parameters(), **arguments)

    net = Net()
    data = TensorDataset(torch.as_tensor(x), _target(work, y))
    loader = DataLoader(data, batch_size=work.batch, shuffle=True)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }

    def train(epochs):
        L.Trainer(max_epochs=epochs, accelerator=device, devices=1, **quiet).fit(net, loader)

    return train, None, None, net


def skorch_fit(name, work, x, y, device="cpu"):
    """skorch's NeuralNet."""
    import skorch

    cls, arguments = _optimizer(work)
    net = skorch.NeuralNet(
        lambda: module(name),
        criterion=type(_loss(work)) if work.classes else _Flat,
        optimizer=cls,
        batch_size=work.batch,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        device=device,
        **{f"optimizer__{k}": v for k, v in arguments.items()},
    )
    net.initialize()
    x, y = torch.as_tensor(x), _target(work, y)
    return lambda epochs: net.fit_loop(x, y, epochs=epochs), None, None, net


class _Flat(nn.BCEWithLogitsLoss):
    """The autoencoder's loss, for outputs and targets of any shape."""

    def forward(self, out, y):
        return super().forward(out.flatten(), y.flatten())


def poutyne_fit(name, work, x, y, device="cpu"):
    """Poutyne's Model."""
    import poutyne

    net = module(name)
    cls, arguments = _optimizer(work)
    metrics = ["accuracy" if work.classes > 1 else "binary_accuracy"] if work.classes else []
    loss = _loss(work) if work.classes else _Flat()
    model = poutyne.Model(net, cls(net.parameters(), **arguments), loss, batch_metrics=metrics)
    x, y = torch.as_tensor(x), _target(work, y)

    def train(epochs):
        return model.fit(x, y, epochs=epochs, batch_size=work.batch, verbose=False)

    return train, None, None, net
