"""The stations of one message, in the order it passes them.

=========== ============================ =========================================================
station     module                       turns
=========== ============================ =========================================================
accept      ``accept.py``                a red-team message into an execution and its planned checks
dispatch    ``dispatch.py``              a due check into a task on its way to a worker
(execute)   ``checking_core.worker``     a task into a result: the detector plugin's part
gather      ``gather.py``                a result into a verdict, or into the next look
expire      ``expire.py``                a lease that ran out into another dispatch, or into worker_lost
report      ``report.py``                stored rows into what a person reads
=========== ============================ =========================================================

``rows.py`` holds the shapes of the rows that several stations write, ``reported.py`` those of a report, ``lanes.py``
where the tasks in flight are; ``give_up.py`` closes checks that nobody answers, ``ask_again.py`` opens those that were
answered too early, ``retry.py`` those that a person wants to be asked again, ``attribute.py`` flags what several
executions claim, ``bisect.py`` finds the one row that the store refuses. Stations know the store and the transport's
Protocol, never each other: ``engine.py`` connects them.
"""
