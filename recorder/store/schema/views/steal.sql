-- Each steal: thief, victim, what was taken, and what the search had cost until then.
CREATE VIEW steal AS
SELECT run, process, id, ts, m, p AS thief, a1 AS victim, g AS first_g, a2 AS n, a3 AS victim_len, a4 AS thief_len, a5 AS passes, a6 AS tried,
  CASE a7 WHEN 0 THEN 'ring' ELSE 'runnext' END AS taken_from
FROM event
WHERE kind = 40;
