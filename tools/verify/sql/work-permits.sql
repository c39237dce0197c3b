CREATE OR REPLACE TEMP VIEW judged AS
WITH parsed AS (
    SELECT place, appended, key, problem, version_of(json_extract(value, '$.version')::VARCHAR) AS version,
        json_extract_string(value, ['$.action', '$.citizenship', '$.category', '$.valid_from', '$.valid_to', '$.revoked_on']) AS f
    FROM raw
), dated AS (
    SELECT *, real_day(f[4]) AS valid_from, real_day(f[5]) AS valid_to, real_day(f[6]) AS revoked_on FROM parsed
)
-- In force from `first` on, no longer from `last` on. Revoked before it began, it was issued and never in force.
SELECT place, appended, key, version, f[1] AS action, {'citizenship': f[2], 'category': f[3]} AS cell,
    valid_from AS first, greatest(valid_from, least(valid_to + 1, coalesce(revoked_on, valid_to + 1))) AS last,
    verdict(problem, version, f[1],
        is_country(f[2]) AND f[3] IN ('1', '2', '3', '4', 'seasonal', 'transfer')
        AND is_event_day(valid_from) AND valid_to >= valid_from AND (f[6] IS NULL OR revoked_on IS NOT NULL)
    ) AS problem
FROM dated;
