"""One file a code: how it is found, and why its thresholds are what they are.

A rule is a module named after its code that ends in

    RULE = Rule("lr_too_high", find, explains=("exploding_gradient",), needs=("losses", "steps"))

where ``find(evidence)`` gives a finding made by ``make_finding``, or None. It is pure and looks at nothing but the
evidence. Severity "fault" says that this run is spoiled: a cause is seen and a bad outcome with it
(``evidence.outcome``), or a cause that is wrong whatever comes out. "warning" is suspicious, "note" worth knowing.
Certainty ranks within a severity: above 0.9 for what is proved from the source or the wiring, 0.6–0.9 for what the
records say clearly, below for what is likely. Thresholds are constants with their reason beside them.
"""
