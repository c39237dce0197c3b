CREATE OR REPLACE TEMP VIEW judged AS
WITH parsed AS (
    SELECT place, appended, key, problem, version_of(json_extract(value, '$.version')::VARCHAR) AS version,
        json_extract_string(value, [
            '$.action', '$.figure', '$.period', '$.unit', '$.source', '$.published_on', '$.counterpart', '$.note']) AS f,
        json_extract(value, ['$.value', '$.sample_size', '$.design_effect'])::VARCHAR[] AS numbers
    FROM raw
), typed AS (
    SELECT *, list_transform(numbers, lambda t: CASE WHEN t = 'null' THEN NULL ELSE t END) AS n FROM parsed
), read AS (
    SELECT *, try_cast(n[1] AS DOUBLE) AS figure_value, whole(n[2]) AS sample_size, try_cast(n[3] AS DOUBLE) AS design_effect,
        try(decode(key)) AS key_text
    FROM typed
)
SELECT place, appended, key, version, f[1] AS action,
    {'key': key_text, 'figure': f[2], 'period': f[3], 'value': figure_value, 'unit': f[4], 'source': f[5], 'published_on': f[6],
     'sample_size': sample_size, 'design_effect': design_effect, 'counterpart': f[7], 'note': f[8]} AS cell,
    real_day(f[6]) AS first, CAST(NULL AS DATE) AS last,
    verdict(problem, version, f[1],
        is_text(key_text, 97) AND regexp_full_match(f[2], '[A-Z0-9_]{1,64}')
        AND regexp_full_match(f[3],
            '(19|20|21)[0-9]{2}(-Q[1-4]|-S[12]|-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?|/[0-9]{2})?')
        AND regexp_full_match(n[1], '-?[0-9].*') AND abs(figure_value) <= 1e15
        AND is_text(f[4], 32) AND is_text(f[5], 256) AND is_event_day(real_day(f[6]))
        AND (n[2] IS NULL OR sample_size IS NOT NULL)
        AND (n[3] IS NULL OR regexp_full_match(n[3], '-?[0-9].*') AND design_effect > 0 AND design_effect <= 1000)
        AND (f[7] IS NULL OR is_country(f[7]))
        AND (f[8] IS NULL OR length(f[8]) BETWEEN 1 AND 1024 AND NOT regexp_matches(f[8], '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]'))
    ) AS problem
FROM read;
