-- The script proper begins.

local refused = begin(KEYS[1], { cmsgpack.unpack(ARGV[1]) })
if refused then return refused end

