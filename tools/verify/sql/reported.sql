-- When what counts came: +1 on the local day on which a record began to count, -1 on the one on which another took its place.
-- `flow_of(cell)` is the feed's. What comes without a version takes the place of another such one; saying the same it adds what it
-- takes away. Of keys that occur once, nearly all, nothing has to be put in order.
INSERT INTO reported
WITH repeated AS (SELECT key FROM valid GROUP BY key HAVING count(*) > 1),
lone AS (SELECT * FROM valid ANTI JOIN repeated USING (key)),
ordered AS (
    SELECT *, max(version) OVER (PARTITION BY key ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS highest
    FROM valid SEMI JOIN repeated USING (key)
),
winner AS (
    SELECT appended, action, cell, first, lag(action) OVER w AS old_action, lag(cell) OVER w AS old_cell, lag(first) OVER w AS old_first
    FROM ordered WHERE highest IS NULL OR version > highest OR version = 0 AND highest = 0
    WINDOW w AS (PARTITION BY key ORDER BY place)
),
step AS (
    SELECT flow_of(cell) AS flow, first AS day, appended, 1 AS n FROM lone WHERE action = 'record'
    UNION ALL SELECT flow_of(cell), first, appended, 1 FROM winner WHERE action = 'record'
    UNION ALL SELECT flow_of(old_cell), old_first, appended, -1 FROM winner WHERE old_action = 'record'
),
instants AS (SELECT flow, day, appended, sum(n) AS n FROM step GROUP BY ALL)
SELECT $feed, flow, day, least(60, greatest(0, local_day(epoch_ms(appended)) - day)), sum(n) FROM instants GROUP BY ALL;
