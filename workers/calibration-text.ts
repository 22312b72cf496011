/**
 * The text on which an import measures a model: several languages, prose, numbers, code and dialogue, written for
 * this purpose. The median residual norms of every registered model are defined by it, so changing a letter changes
 * what `residual_norm` means: add a second text beside it instead.
 */
export const calibrationText: readonly string[] = [
  "The river rises in the hills above the old mill and runs south through three small towns before it meets the sea. In spring the water is high and brown, and the ferry stops for a week or two. Children wait on the bank with their fathers and count the branches that drift past.",
  "Bread needs four things: flour, water, salt and time. Mix the first three in a bowl until no dry flour is left, cover the bowl with a cloth, and leave it on the table overnight. In the morning the dough will have doubled. Fold it, let it rest for an hour, and bake it in a hot oven for forty minutes.",
  "A train leaves the station at 8:15 and travels at 60 kilometres an hour. A second train leaves at 8:45 on the same line and travels at 90 kilometres an hour. The second train catches the first after one hour, because it gains 30 kilometres in every hour and it started 30 kilometres behind.",
  "function total(prices) {\n  let sum = 0;\n  for (const price of prices) {\n    if (price > 0) sum += price;\n  }\n  return sum;\n}\n\nconsole.log(total([3, 4.5, 12]));",
  "- Good morning. Is the library open today?\n- Yes, until six. Do you have a card?\n- Not yet. What do I need to get one?\n- Only something with your name and address on it. It takes five minutes.\n- Thank you. I will come back after lunch.",
  "今天早上下了一场小雨，街上的人不多。老王打开店门，把新到的书摆在靠窗的桌子上。九点钟，第一位客人走了进来，问有没有关于古代建筑的书。老王笑了笑，从架子上取下三本，放在他面前。",
  "水在零度结冰，在一百度沸腾，这是在海平面上的数字。山越高，气压越低，水就越容易沸腾。所以在高原上煮饭要用高压锅，不然米饭总是夹生的。",
  "La casa de mi abuela está al final de un camino de tierra. Tiene un patio con dos naranjos y una mesa larga donde comemos los domingos. Cuando llega el verano, las ventanas quedan abiertas toda la noche y se oye el ruido del mar.",
  "El precio de las manzanas subió de dos a tres euros en un mes. Si una familia compra cuatro kilos por semana, gasta ahora doce euros en lugar de ocho, es decir, cuatro euros más cada semana.",
  "Зимой в нашем городе темнеет рано. В пять часов уже горят фонари, и люди спешат домой с работы. На площади стоит высокая ёлка, вокруг неё катаются дети, а взрослые пьют горячий чай и разговаривают о погоде.",
  "Чтобы найти площадь прямоугольника, нужно умножить длину на ширину. Комната длиной шесть метров и шириной четыре метра имеет площадь двадцать четыре квадратных метра.",
  "في صباح كل يوم جمعة يفتح السوق القديم أبوابه قبل شروق الشمس. يأتي المزارعون بالخضار والفاكهة من القرى القريبة، ويجلس الباعة خلف صناديقهم وينادون على الناس. رائحة القهوة والخبز تملأ المكان.",
  "Die Brücke wurde vor hundert Jahren gebaut und verbindet die beiden Teile der Stadt. Jeden Morgen gehen Tausende von Menschen darüber zur Arbeit. Im nächsten Frühjahr soll sie erneuert werden, und dann muss man den langen Weg über die alte Straße nehmen.",
  "Le musée ouvre à dix heures et ferme à dix-huit heures, sauf le lundi. L'entrée est gratuite pour les enfants. Dans la première salle, on voit des cartes anciennes ; dans la seconde, des instruments que les marins emportaient en voyage.",
  "毎朝、駅の前の小さな店でパンを買います。店の人はいつも笑顔で「おはようございます」と言います。今日は天気がよかったので、公園のベンチに座って、ゆっくり朝ごはんを食べました。",
  "Name: sensor-17\nStatus: active\nReadings: 21.5, 21.7, 22.0, 21.9\nLast check: 2024-03-18 07:40\nNote: the value rose by 0.5 degrees in one hour; no action is needed.",
  "Birds that spend the summer in the north must decide when to leave. The days grow shorter, insects become rare, and the first frost is a clear sign. Young birds have never made the journey, and yet most of them find the way, guided by the stars and by something in them that feels the direction of north.",
  "To whom it may concern: I am writing about the order that I placed on the third of May. Two of the five chairs arrived with broken legs. Please send replacements or return the money for these two. The photographs are attached. Kind regards.",
];
