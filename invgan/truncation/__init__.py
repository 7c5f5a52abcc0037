"""A prior cut down to the region where the answer can be.

Cutting a prior q to a region R leaves the conditional as it is, up to the same cut:

    q_R(x) = q(x) 1_R(x) / q(R),        q_R(x | y) = q(x | y) 1_R(x) / q(R | y),

so simulations drawn from q_R serve wherever ``q(R | y)`` is one, and need no weights (truncated
sequential estimation: Miller et al. 2021; Deistler, Gonçalves and Macke 2022).

R is where draws of the present answer are to be expected: the box that holds them, cut further by
a classifier between answer and prior. Its log-odds are ``log answer/prior`` up to a constant, so
that cutting at a level leaves the smallest region, by prior mass, that holds a given share of the
answer (Neyman and Pearson). The level is a quantile over draws that the classifier has not seen,
two standard errors on the safe side: no more than ``miss`` of the answer is lost, however bad the
classifier is. A bad one leaves a larger region, not a wrong one.
"""

from invgan.truncation.narrowing import narrowed
from invgan.truncation.prior import Truncated, mass_of, within
from invgan.truncation.region import Region

__all__ = ["Region", "Truncated", "mass_of", "narrowed", "within"]
