"""What is my data, and what was done to it before training?"""

from picture import show_or_write

from pellucid.data.load import prepare
from pellucid.data.settings import DataSettings

prepared = prepare("wine", DataSettings(), seed=0)
print(prepared.report)
prepared.report.plot()
show_or_write()
