-- What can be counted, kept: it is read twice, and its JSON is dear.
CREATE OR REPLACE TEMP TABLE valid AS
SELECT place, appended, key, version, action, cell, first, last FROM judged WHERE problem IS NULL;

-- Of each record the highest version counts; of equal ones the first in the log, of those without a version the last. A withdrawal
-- that wins leaves nothing. Structures compare field by field: version first, then the place, as it ranks.
CREATE OR REPLACE TEMP TABLE standing AS
SELECT best.cell AS cell, best.first AS first, best.last AS last
FROM (
    SELECT max({'version': version, 'rank': if(version = 0, place, -place), 'action': action, 'cell': cell, 'first': first, 'last': last}) AS best
    FROM valid GROUP BY key
)
WHERE best.action = 'record';
