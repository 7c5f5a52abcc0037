# Oxygen in a river below an outfall (Streeter and Phelps 1925), marched downstream.
#
#   awk -f sag.awk input.txt         the input has lines such as `deoxygenation = 0.3`
#
# With the load L of organic matter and the deficit D of oxygen, t in days of travel,
#
#   dL/dt = -deoxygenation L,    dD/dt = deoxygenation L - reaeration D.
#
# It prints the lowest oxygen (mg/L) and where that is (days of travel).

BEGIN { FS = "[ \t]*=[ \t]*"; saturation = 9.1; deficit = 1; step = 0.05; last = 40 }
NF == 2 { value[$1] = $2 + 0 }

function rate(l, d) { return value["deoxygenation"] * l - value["reaeration"] * d }

END {
    if (value["deoxygenation"] <= 0 || value["reaeration"] <= 0 || value["load"] <= 0) {
        print "rates and load must be above 0" > "/dev/stderr"
        exit 1
    }
    half = exp(-value["deoxygenation"] * step / 2)
    l = value["load"]; d = deficit; worst = d; where = 0
    slope = rate(l, d)
    for (i = 0; i * step < last && slope > 0; i++) {
        before = d
        middle = l * half; after = middle * half           # the load is known exactly
        k2 = rate(middle, d + step / 2 * slope)
        k3 = rate(middle, d + step / 2 * k2)
        k4 = rate(after, d + step * k3)
        d += step / 6 * (slope + 2 * k2 + 2 * k3 + k4); l = after
        falls = rate(l, d)
        share = falls < 0 ? slope / (slope - falls) : 1    # of this step until it is worst
        worst = falls < 0 ? before + step * share * slope / 2 : d
        where = (i + share) * step
        slope = falls
    }
    printf "oxygen = %.17g\nday = %.17g\n", saturation - worst, where
}
