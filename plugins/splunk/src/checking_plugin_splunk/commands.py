"""The commands of SPL that only read. Whatever is not among them may write, send, run, or answer from something else.

A list of what is forbidden would not know the commands that apps bring. Those that make results up, such as
``makeresults``, read those of another time, such as ``loadjob``, or the configuration, such as ``rest``, answer no
check.
"""

from __future__ import annotations

__all__ = ["BEGINNINGS", "COMMANDS"]

BEGINNINGS = frozenset({"datamodel", "from", "metasearch", "mstats", "multisearch", "search", "set", "tstats", "union"})
"""What a query may begin with behind a pipe: commands that read events."""

_FURTHER = """
    abstract accum addcoltotals addinfo addtotals anomalies anomalousvalue anomalydetection append appendcols
    appendpipe associate autoregress bin bucket chart cluster cofilter concurrency contingency convert
    correlate dedup delta diff erex eval eventstats expand extract fieldformat fields fieldsummary filldown
    fillnull findtypes flatten foreach format fromjson gauge geostats head highlight iconify inputlookup
    iplocation join kmeans kv lookup makecontinuous makemv multikv mvcombine mvexpand nomv outlier rangemap
    rare regex relevancy reltime rename replace return reverse rex rtorder scrub searchtxn selfjoin setfields
    sort spath stats streamstats strcat table tags tail timechart timewrap tojson top transaction transpose
    trendline typer untable where x11 xmlkv xmlunescape xpath xyseries
"""

COMMANDS = BEGINNINGS | frozenset(_FURTHER.split())
