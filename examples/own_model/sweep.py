# %% [markdown]
# # A network of your own, swept over its own options
#
# Start Jupyter in this directory. The class is defined in the notebook; a class that is imported works in the same way.

# %%
from torch import nn

from regexp import compare, load_run, sweep


class Net(nn.Module):
    def __init__(self, classes, width=16, p=0.0):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Flatten(), nn.LazyLinear(width), nn.BatchNorm1d(width), nn.ReLU()),
            *(nn.Dropout(p), nn.Linear(width, classes)),
        )

    def forward(self, images):
        return self.layers(images)


# %% [markdown]
# Six runs: two widths, each with three seeds. The runs of one width train together. Run the cell again: nothing is
# trained a second time.

# %%
runs = sweep({"model.options.width": [4, 32], "seed": range(3)}, epochs=20, quiet=True, model=Net)
[run.status for run in runs]

# %% [markdown]
# Is the difference between the widths real?

# %%
for row in compare(runs, baseline={"model.options.width": 4}):
    print(row["model.options.width"], f"{row['test_accuracy']:.1%}", row["verdict"])

# %% [markdown]
# The trained network: files do not decide that code runs, so the class is passed again.

# %%
network = load_run(runs[-1].directory).model(target=Net)
sum(parameter.numel() for parameter in network.parameters())
