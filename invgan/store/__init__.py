"""Simulations on disk as they come: what is finished is never lost, whatever happens.

A store is a folder in the Zarr v3 format with one chunk for each batch of rows:

    x        (n, D)       parameters
    y        (n, W)       outputs as observed, NaN where the simulation failed
    status   (n,)         0 to come, 1 finished, 2 and more failed: 2 plus the place in `KINDS`
    seconds  (n,)         of failed rows
    which    (n,)         of failed rows: 1 plus the place of the message among its batch's
    texts    (batches, T) the messages of a batch, as JSON in UTF-8

Every chunk carries a checksum. Each is written beside its place, forced to the disk and moved
there, the status last; so a batch whose status can be read is complete, and one of which anything
is missing or damaged counts as not there and is simulated again.
"""

from invgan.store.reading import Stored, open_store
from invgan.store.writing import remove_store

__all__ = ["Stored", "open_store", "remove_store"]
