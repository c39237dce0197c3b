CREATE OR REPLACE TEMP VIEW judged AS
WITH parsed AS (
    SELECT place, appended, key, problem, version_of(json_extract(value, '$.version')::VARCHAR) AS version,
        json_extract_string(
            value, ['$.action', '$.citizenship', '$.level', '$.institution', '$.branch_of', '$.enrolled_on', '$.ended_on']) AS f
    FROM raw
), dated AS (SELECT *, real_day(f[6]) AS enrolled_on, real_day(f[7]) AS ended_on FROM parsed)
-- A figure depends on the institution only where it is a branch.
SELECT place, appended, key, version, f[1] AS action,
    {'citizenship': f[2], 'level': f[3], 'branch': CASE WHEN f[5] IS NOT NULL THEN f[4] END} AS cell,
    enrolled_on AS first, ended_on AS last,
    verdict(problem, version, f[1],
        is_country(f[2]) AND f[3] IN ('preparatory', 'bachelor', 'master', 'doctoral', 'residency')
        AND (f[5] IS NULL OR is_country(f[5]) AND is_text(f[4], 32))
        AND is_event_day(enrolled_on) AND (f[7] IS NULL OR ended_on > enrolled_on)
    ) AS problem
FROM dated;
