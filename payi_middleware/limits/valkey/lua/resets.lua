-- What accounts of a limit had come to when they were reset; or delete such.
-- Asked: number, whether to delete, the key of those (false: any), by when they were (0: any).

local name = base .. ':p:' .. asked[8]
local found, left = {}, {}
for _, packed in ipairs(call('LRANGE', name, 0, -1)) do
  local past = cmsgpack.unpack(packed)
  local meant = (asked[10] == false or past[1] == asked[10]) and (asked[11] == 0 or past[3] <= asked[11])
  if meant then found[#found + 1] = past else left[#left + 1] = packed end
end
if not asked[9] then return answer(found) end
if #found > 0 then
  call('DEL', name)
  for _, packed in ipairs(left) do call('RPUSH', name, packed) end
end
return answer({ #found })
