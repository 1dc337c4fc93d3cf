-- What accounts of a limit had come to when they were reset, a page of it. Asked: number, how many to pass over, how many.

local found = {}
for i, packed in ipairs(call('LRANGE', base .. ':p:' .. asked[8], asked[9], asked[9] + asked[10] - 1)) do
  found[i] = cmsgpack.unpack(packed)
end
return answer(found)
