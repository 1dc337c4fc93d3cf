-- The ledger's id: made once, with its data, from what is proposed.

local base = KEYS[1]
local asked = { cmsgpack.unpack(ARGV[1]) }
redis.call('SETNX', base .. ':id', asked[1])
redis.call('SETNX', base .. ':clock', 0)
return cmsgpack.pack({ redis.call('GET', base .. ':id') })
