"""How good is the classifier, and where does it fail?"""

import tempfile

from picture import show_or_write

import pellucid

with tempfile.TemporaryDirectory() as folder:
    run = pellucid.fit("breast_cancer", runs_dir=folder)
    evaluation = run.result("evaluation_test")
print(evaluation)
evaluation.plot()
show_or_write()
