CREATE OR REPLACE TEMP VIEW judged AS
WITH parsed AS (
    SELECT place, appended, key, problem, version_of(json_extract(value, '$.version')::VARCHAR) AS version,
        json_extract_string(value, ['$.action', '$.occurred_at', '$.direction', '$.citizenship', '$.counterpart', '$.purpose']) AS f
    FROM raw
), dated AS (SELECT *, local_day(instant(f[2])) AS day FROM parsed)
SELECT place, appended, key, version, f[1] AS action,
    {'direction': f[3], 'citizenship': f[4], 'counterpart': f[5], 'purpose': f[6]} AS cell,
    day AS first, CAST(NULL AS DATE) AS last,
    verdict(problem, version, f[1],
        is_event_day(day) AND f[3] IN ('arrival', 'departure') AND is_country(f[4]) AND is_country(f[5])
        AND f[6] IN ('unspecified', 'employment', 'education', 'tourism', 'private', 'business', 'medical', 'transit', 'residence')
    ) AS problem
FROM dated;
