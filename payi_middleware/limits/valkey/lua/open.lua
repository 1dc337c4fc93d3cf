-- The ledger's id: made once, with its data, from what is proposed. Asked: that, then ids that whoever asks has known before.

local base = KEYS[1]
local asked = { cmsgpack.unpack(ARGV[1]) }
redis.call('SETNX', base .. ':id', asked[1])
redis.call('SETNX', base .. ':clock', 0)
local id = redis.call('GET', base .. ':id')
for i = 2, #asked do
  if asked[i] ~= id then redis.call('SADD', base .. ':was', asked[i]) end
end
return cmsgpack.pack({ id })
