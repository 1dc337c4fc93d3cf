-- Delete alerts of a limit, or of one account, whoever is telling them.
-- Asked: application, the limit's id, key (false: any), where a page begins, about how many are looked at.
-- Answered: where the next begins.

local page = call('HSCAN', base .. ':o', asked[11], 'COUNT', asked[12])
for i = 1, #page[2], 2 do
  local alert = cmsgpack.unpack(page[2][i + 1])
  if alert[1] == asked[8] and alert[2] == asked[9] and (asked[10] == false or alert[4] == asked[10]) then
    call('HDEL', base .. ':o', page[2][i])
    call('ZREM', base .. ':free', page[2][i])
  end
end
return answer(page[1])
