-- How many Gs each place in the source spawned.
--   run: the run
--   process: the process
--   site: number of the place
--   place: file and line
--   gs: Gs that were spawned there
--   ended: those of them that ended
CREATE VIEW spawn_site AS
SELECT g.run, g.process, g.site, site.file || ':' || site.line AS place, count(*) AS gs, count(g.exit_ts) AS ended
FROM g LEFT JOIN site USING (run, process, site)
GROUP BY g.run, g.process, g.site;
