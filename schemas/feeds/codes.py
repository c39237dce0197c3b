"""Code lists that feeds share. A list changes only with its standard; removing a code is a new major version of its feeds."""

# ISO 3166-1 alpha-2, officially assigned.
_ISO_COUNTRIES = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT
JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY
MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM
PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ
TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
ISO_COUNTRIES: tuple[str, ...] = tuple(_ISO_COUNTRIES.split())
COUNTRIES: tuple[str, ...] = (*ISO_COUNTRIES, "XX")  # XX: not known

# ISO 3166-2:KZ as of 2022-11-29: 17 regions, 3 cities of republican significance.
_REGIONS = """
KZ-10 KZ-11 KZ-15 KZ-19 KZ-23 KZ-27 KZ-31 KZ-33 KZ-35 KZ-39
KZ-43 KZ-47 KZ-55 KZ-59 KZ-61 KZ-62 KZ-63 KZ-71 KZ-75 KZ-79
"""
REGIONS: tuple[str, ...] = tuple(_REGIONS.split())

SECTORS: tuple[str, ...] = tuple("ABCDEFGHIJKLMNOPQRSTU")  # ISIC Rev. 4 sections
EDUCATION_FIELDS: tuple[str, ...] = tuple(f"{code:02}" for code in range(11))  # ISCED-F 2013 broad fields, 00 to 10
