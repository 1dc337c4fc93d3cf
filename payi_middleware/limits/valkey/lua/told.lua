-- How far alerts have come. Asked: their ids, their stage (-1 if nothing is left to do for them), for how long they are the asker's.

for _, id in ipairs(asked[8]) do
  local packed = call('HGET', base .. ':o', id)
  if asked[9] < 0 then
    call('ZREM', base .. ':free', id)
    call('HDEL', base .. ':o', id)
  elseif packed then
    local alert = cmsgpack.unpack(packed)
    alert[12] = asked[9]
    call('HSET', base .. ':o', id, cmsgpack.pack(alert))
    call('ZADD', base .. ':free', now + asked[10], id)
  end
end
return answer({})
