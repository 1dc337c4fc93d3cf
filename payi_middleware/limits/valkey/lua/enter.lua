-- The script proper begins.

local refused = begin(KEYS, ARGV)
if refused then return refused end

