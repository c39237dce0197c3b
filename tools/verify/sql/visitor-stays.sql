CREATE OR REPLACE TEMP VIEW judged AS
WITH parsed AS (
    SELECT place, appended, key, problem, version_of(json_extract(value, '$.version')::VARCHAR) AS version,
        json_extract_string(value, ['$.action', '$.arrived_on', '$.citizenship', '$.kind']) AS f
    FROM raw
), dated AS (SELECT *, real_day(f[2]) AS day FROM parsed)
SELECT place, appended, key, version, f[1] AS action, {'citizenship': f[3], 'kind': f[4]} AS cell,
    day AS first, CAST(NULL AS DATE) AS last,
    verdict(problem, version, f[1],
        is_event_day(day) AND is_country(f[3]) AND f[4] IN ('guest', 'medical')
    ) AS problem
FROM dated;
