"""Well-known data sets: where their files may be, how they are downloaded, and how they are read.

`idx` (MNIST's family), `cifar` and `svhn` find and read the files; `transfer` holds what their downloads share. torch
is not imported here, and torchvision only to download.
"""
