-- The runtime's own counters of a process, all Ms together.
--   run: the run
--   process: the process
--   name: name of the counter; help has its meaning under own_counter
--   value: how often, all Ms together
CREATE VIEW own_total AS
SELECT run, process, name, sum(value) AS value
FROM own_counter
GROUP BY run, process, name;
