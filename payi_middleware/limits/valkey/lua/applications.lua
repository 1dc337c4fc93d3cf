-- Whose limits are kept here.

return answer(call('SMEMBERS', base .. ':applications'))
